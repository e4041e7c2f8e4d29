// Task: a coroutine that begins when it is awaited and hands its result to whoever awaits it. Bound
// to one event loop. A task that ends without waiting costs its awaiter no suspension, so loops
// over such tasks need no stack.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace sluicegate::net {

template <class T>
class Task;

namespace detail {

// What promises of all results share. Errors are values here: an exception ends the program.
class PromiseBase {
 public:
  struct Final {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) const noexcept {
      const std::coroutine_handle<> waiter = done.promise().waiter_;
      return waiter ? waiter : std::noop_coroutine();
    }
    void await_resume() const noexcept {}
  };

  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] Final final_suspend() const noexcept { return {}; }
  [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
  /// Whom to resume at the end; nobody, as long as the awaiter has not been suspended.
  void set_waiter(std::coroutine_handle<> waiter) noexcept { waiter_ = waiter; }

 private:
  std::coroutine_handle<> waiter_;
};

template <class T>
class Promise : public PromiseBase {
 public:
  Task<T> get_return_object() noexcept;
  void return_value(T value) noexcept { value_ = std::move(value); }
  [[nodiscard]] T Result() noexcept { return *std::move(value_); }

 private:
  std::optional<T> value_;
};

template <>
class Promise<void> : public PromiseBase {
 public:
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void Result() const noexcept {}
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;  // NOLINT(readability-identifier-naming): C++'s name.
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle coroutine) noexcept : coroutine_(coroutine) {}
  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, {})) {}
  ~Task() {
    if (coroutine_) coroutine_.destroy();
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  Task& operator=(Task&&) = delete;

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> awaiter) noexcept {
    coroutine_.resume();
    if (coroutine_.done()) return false;
    coroutine_.promise().set_waiter(awaiter);
    return true;
  }
  T await_resume() noexcept { return coroutine_.promise().Result(); }

 private:
  Handle coroutine_;
};

template <class T>
Task<T> detail::Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}
inline Task<void> detail::Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

namespace detail {

// A coroutine that nobody awaits, and that cleans up after itself.
struct Detached {
  struct promise_type {  // NOLINT(readability-identifier-naming): C++'s name.
    [[nodiscard]] Detached get_return_object() const noexcept { return {}; }
    [[nodiscard]] std::suspend_never initial_suspend() const noexcept { return {}; }
    [[nodiscard]] std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
  };
};

template <class Owner>
Detached RunDetached(Task<void> task, Owner owner) {
  co_await task;
  static_cast<void>(owner);
}

}  // namespace detail

/// Begins `task` now and lets it run by itself. `owner` is what it works on: it is kept until the
/// task is over.
template <class Owner>
void Spawn(Task<void> task, Owner owner) {
  detail::RunDetached(std::move(task), std::move(owner));
}

/// One coroutine waits until somebody says so. Neither copies nor moves.
class Completion {
 public:
  Completion() = default;
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;

  /// Resumes who waits, within the call: what follows it in the caller may find anything gone.
  void Tell() {
    if (waiter_) std::exchange(waiter_, {}).resume();
  }
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) noexcept { waiter_ = waiter; }
  void await_resume() const noexcept {}

 private:
  std::coroutine_handle<> waiter_;
};

}  // namespace sluicegate::net
