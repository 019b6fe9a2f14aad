// The time zones of the IANA database, as the system has them.
//
//   const auto zone = value_or_throw(TimeZone::find("America/New_York"));
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "mephisto/error.h"

namespace mephisto {

class TimeZone {
 public:
  // kInvalid if there is no such zone; the error suggests the nearest name.
  static Result<TimeZone> find(std::string_view name);
  // The version of the database, e.g. `2026f`; `unknown` if the system does not tell it.
  static const std::string& data_version();

  const std::string& name() const;

  // A time between two changes of the offset: [begin, end).
  struct Span {
    std::chrono::sys_seconds begin;
    std::chrono::sys_seconds end;
    std::chrono::seconds offset;         // local time = UTC + offset
    std::chrono::seconds offset_before;  // of the span before
  };
  Span at(std::chrono::sys_seconds time) const;

  // `2026-03-08 03:00:00 -04:00`
  std::string format(std::chrono::sys_seconds time) const;

 private:
  struct Data;
  explicit TimeZone(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  std::shared_ptr<const Data> data_;
};

}  // namespace mephisto
