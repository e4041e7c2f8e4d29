// RateLimited around a coroutine: the decision is made at the call, before anything is awaited.
#include <sluicegate/rate_limited.h>

#include <coroutine>
#include <cstdio>
#include <exception>
#include <utility>

// The least that a coroutine needs; a program has its library's own type here.
class Task {
 public:
  struct promise_type {
    int value = 0;
    Task get_return_object() { return Task(Handle::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_value(int result) noexcept { value = result; }
    void unhandled_exception() noexcept { std::terminate(); }
  };
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }
  int Run() {
    handle_.resume();
    return handle_.promise().value;
  }

 private:
  using Handle = std::coroutine_handle<promise_type>;
  explicit Task(Handle handle) : handle_(handle) {}
  Handle handle_;
};

Task Square(int number) { co_return number* number; }

int main() {
  auto limiter = sluicegate::Limiter::Create({"2/minute"});
  if (!limiter) return std::fprintf(stderr, "%s\n", limiter.error().c_str()), 1;
  auto square =
      sluicegate::RateLimited(Square, sluicegate::RateLimitedOptions{.limiter = &*limiter});
  for (int number = 1; number <= 3; ++number) {
    auto task = square(number);  // std::expected<Task, sluicegate::Denied>
    if (task) {
      std::printf("%d squared is %d\n", number, task->Run());
    } else {
      std::puts("denied: the coroutine was not made");
    }
  }
}
