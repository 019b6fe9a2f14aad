// Decodes and encodes a record, compared with hand-written code on simdjson and a hand-written writer.
#include <fmt/format.h>

#include <cstdlib>

#include "bench.h"

namespace mephisto::bench {
namespace {

volatile double sink = 0;

// All texts one after another with padding at the end, as in a fetched batch.
struct Packed {
  std::string bytes;
  std::vector<std::string_view> views;
  Packed() {
    for (const auto& text : texts()) bytes += text;
    bytes.resize(bytes.size() + kJsonPadding);
    std::size_t at = 0;
    for (const auto& text : texts()) {
      views.emplace_back(bytes.data() + at, text.size());
      at += text.size();
    }
  }
};

const Packed& packed() {
  static const Packed made;
  return made;
}

template <class Decode>
double decode_all(Decode decode) {
  Trade value;
  double sum = 0;
  const auto start = now();
  for (auto view : packed().views) {
    decode(view, value);
    sum += value.price;
  }
  const auto seconds = now() - start;
  sink = sum;
  return kRecords / seconds;
}

double decode_ours() {
  return decode_all([](std::string_view view, Trade& value) {
    if (!json::read_padded(view, value)) std::abort();
  });
}

double decode_limit() {
  simdjson::ondemand::parser parser;
  return decode_all([&](std::string_view view, Trade& value) { decode_by_hand(parser, view, value); });
}

const std::vector<Trade>& trades() {
  static const std::vector<Trade> made = [] {
    std::vector<Trade> all;
    for (int i = 0; i < kRecords; ++i) all.push_back(trade(i));
    return all;
  }();
  return made;
}

double encode_ours() {
  Buffer out{1 << 16};
  const auto start = now();
  for (const auto& value : trades()) {
    if (out.size() > 60'000) out.clear();
    json::write(out, value);
  }
  return kRecords / (now() - start);
}

double encode_limit() {
  std::string buffer(1 << 17, '\0');
  char* at = buffer.data();
  const auto start = now();
  for (const auto& value : trades()) {
    if (at - buffer.data() > 60'000) at = buffer.data();
    at = encode_by_hand(at, value);
  }
  return kRecords / (now() - start);
}

}  // namespace

std::vector<Case> json_cases() {
  return {
      {"json_decode", "records/s", "simdjson by hand", decode_ours, decode_limit, 0.8},
      {"json_encode", "records/s", "a writer by hand", encode_ours, encode_limit, 0.8},
  };
}

}  // namespace mephisto::bench
