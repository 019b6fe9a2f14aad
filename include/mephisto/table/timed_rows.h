// How a table whose rows expire is laid out in its stores, and what has expired. The time is that of the partition: the
// largest time of its events so far. Each row has the time of its last change. An index by time finds what expires; it
// has one entry for each row, which moves when it is due and the row has changed meanwhile.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mephisto/store/store.h"
#include "mephisto/table/window.h"

namespace mephisto::detail {

struct Expiry {
  bool timed = false;                  // rows have times
  std::chrono::milliseconds after{0};  // zero: they do not expire
  // The window of a key, for rows that expire that long after its end; null: after their last change.
  WindowBounds (*window)(std::string_view key) = nullptr;

  bool renews() const { return after.count() > 0 && window == nullptr; }
};

class TimedRows {
 public:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  explicit TimedRows(const Expiry& rule) : rule_(rule) {}

  // Reads the partition's time, and when the first row is due.
  void open(Store& store);

  std::int64_t time() const { return time_; }
  void saw(std::int64_t time) {
    if (time > time_) time_ = time;
  }
  // When a row with that time expires; kNever if it does not.
  std::int64_t expires_at(std::string_view key, std::int64_t time) const;
  bool expired(std::string_view key, std::int64_t time) const { return expires_at(key, time) <= time_; }
  bool due() const { return next_due_ <= time_; }

  struct Row {
    std::int64_t time;
    std::string_view value;
  };
  // The row as the store has it; valid until the store's next call.
  std::optional<Row> get(Store& store, std::string_view key) const;
  void scan(Store& store, std::string_view from, std::string_view to,
            const std::function<bool(std::string_view key, const Row& row)>& visit) const;

  // Collects the changes of a commit for the store.
  class Changes {
   public:
    void set(std::string_view key, std::int64_t time, std::string_view value);
    void erase(std::string_view key);
    void add_index(std::int64_t due, std::string_view key);
    void erase_index(std::int64_t due, std::string_view key);
    void set_time(std::int64_t time);
    bool empty() const { return all_.empty(); }
    void apply(Store& store, std::int64_t position);

   private:
    std::vector<std::pair<std::string, std::optional<std::string>>> all_;
  };
  // A change of a row: its value, or none. The row gets an index entry if `existed` is false.
  void change(Changes& changes, std::string_view key, std::int64_t time, std::optional<std::string_view> value,
              bool existed);
  // The keys whose entries of the index are due, with the time of their row in the store; none if there is no such row.
  struct Due {
    std::int64_t due;
    std::string key;
    std::optional<std::int64_t> time;
  };
  std::vector<Due> take_due(Store& store) const;
  // After entries of the index have gone.
  void find_next(Store& store);

 private:
  const Expiry& rule_;
  std::int64_t time_ = std::numeric_limits<std::int64_t>::min();
  std::int64_t next_due_ = kNever;
};

}  // namespace mephisto::detail
