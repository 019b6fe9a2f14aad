// Numbers and keys as bytes whose order is the order of what they mean: for the keys of stores and of operators' state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mephisto::detail {

// A number has 8 bytes, the highest first. The bit of the sign is inverted, so that negative ones come first.
void put_number(std::string& to, std::int64_t number);
void put_numbers(std::string& to, std::initializer_list<std::int64_t> numbers);
std::int64_t read_number(std::string_view bytes);   // the first 8 bytes
std::int64_t take_number(std::string_view& bytes);  // the same, and removes them

// A key within a longer one. A zero byte is written as 00 FF and the end as 00 01, so that no key is the beginning of
// another.
void put_key(std::string& to, std::string_view key);
std::string take_key(std::string_view& bytes);  // throws Failure (kCorrupt) if there is none

// Takes the first `size` bytes; throws Failure (kCorrupt) if there are fewer.
std::string_view take_bytes(std::string_view& bytes, std::size_t size);

// The smallest text after all texts that start with `prefix`; empty if there is none.
std::string after_prefix(std::string_view prefix);
// Where a scan of the entries PREFIX TIME … begins if none is before `time`. From the prefix itself RocksDB would step
// over all entries that were erased before.
std::string from_time(std::string prefix, std::int64_t time);

}  // namespace mephisto::detail
