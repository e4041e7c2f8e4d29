#!/usr/bin/env python3
"""A FastAPI application with limits for all of it and for one route.

    pip install ./sluicegate fastapi uvicorn
    python examples/python/fastapi_app.py

It listens at http://127.0.0.1:8000. The third `curl -i http://127.0.0.1:8000/slow` within a minute is denied.
"""

import os

import uvicorn
from fastapi import Depends, FastAPI

from sluicegate import RateLimitConfig, RateLimitMiddleware
from sluicegate.fastapi import RateLimit

app = FastAPI()
app.add_middleware(RateLimitMiddleware, config=RateLimitConfig(requests_per_minute=60))


@app.get("/")
def hello() -> dict[str, str]:
    return {"hello": "world"}


@app.get("/slow", dependencies=[Depends(RateLimit("2/minute"))])
def slow() -> dict[str, str]:
    return {"took": "long"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
