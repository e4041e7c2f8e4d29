// SessionList: the connections of a loop, those that made progress last at the end. A list whose
// links lie in its members, so that moving one costs nothing but a few writes. Owns nothing; bound
// to one loop.
#pragma once

#include <cstddef>

namespace sluicegate::gateway {

class SessionList {
 public:
  class Member {
   public:
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;
    [[nodiscard]] Member* next() const noexcept { return next_; }

   protected:
    Member() = default;
    ~Member() = default;

   private:
    friend class SessionList;
    Member* previous_ = nullptr;
    Member* next_ = nullptr;
  };

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] Member* first() const noexcept { return first_; }
  void Add(Member& member) noexcept {
    member.previous_ = last_;
    member.next_ = nullptr;
    (last_ != nullptr ? last_->next_ : first_) = &member;
    last_ = &member;
  }
  void Remove(Member& member) noexcept {
    (member.previous_ != nullptr ? member.previous_->next_ : first_) = member.next_;
    (member.next_ != nullptr ? member.next_->previous_ : last_) = member.previous_;
  }
  void MoveToEnd(Member& member) noexcept {
    if (last_ == &member) return;
    Remove(member);
    Add(member);
  }

 private:
  Member* first_ = nullptr;
  Member* last_ = nullptr;
};

}  // namespace sluicegate::gateway
