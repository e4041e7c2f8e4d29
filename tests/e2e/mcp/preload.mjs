// `node --import preload.mjs SERVER`: whatever the server asks for, it listens on a free loopback port,
// and says which: a line "port=N" on stdout.

import net from "node:net";

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...wanted) {
  const listening = wanted.findLast((argument) => typeof argument === "function");
  return listen.call(this, 0, "127.0.0.1", () => {
    process.stdout.write(`port=${this.address().port}\n`);
    listening?.call(this);
  });
};
