#include "log/kafka/fetch_wire.h"

namespace mephisto::kafka::wire {
namespace {

constexpr std::int32_t kAnyEpoch = -1;
constexpr std::int8_t kReadUncommitted = 0;
constexpr std::int8_t kReadCommitted = 1;

void put_string(Buffer& to, std::string_view text) {
  put_big_endian(to, static_cast<std::int16_t>(text.size()));
  to.append(text);
}

Buffer begin(std::int16_t what, std::int16_t version, std::int32_t correlation, std::string_view client) {
  Buffer request;
  put_big_endian<std::int32_t>(request, 0);
  put_big_endian(request, what);
  put_big_endian(request, version);
  put_big_endian(request, correlation);
  put_string(request, client);
  return request;
}

void finish(Buffer& request) {
  Buffer length;
  put_big_endian(length, static_cast<std::int32_t>(request.size() - sizeof(std::int32_t)));
  std::memcpy(request.data(), length.data(), length.size());
}

}  // namespace

Buffer api_versions_request(std::string_view client, std::int32_t correlation) {
  auto request = begin(kApiVersions, 0, correlation, client);
  finish(request);
  return request;
}

Buffer fetch_request(std::string_view client, std::int32_t correlation, const FetchLimits& limits,
                     const std::vector<Wanted>& wanted) {
  auto request = begin(kFetch, kFetchVersion, correlation, client);
  put_big_endian<std::int32_t>(request, -1);  // not a replica
  put_big_endian(request, static_cast<std::int32_t>(limits.wait.count()));
  put_big_endian<std::int32_t>(request, 1);  // wait for at least one byte
  put_big_endian(request, static_cast<std::int32_t>(limits.bytes));
  put_big_endian(request, limits.uncommitted ? kReadUncommitted : kReadCommitted);
  put_big_endian<std::int32_t>(request, 0);  // no fetch session
  put_big_endian(request, kAnyEpoch);
  const auto topics_at = request.size();
  put_big_endian<std::int32_t>(request, 0);
  std::int32_t topics = 0;
  for (std::size_t i = 0; i < wanted.size();) {
    const auto& topic = wanted[i].partition->topic;
    std::size_t end = i;
    while (end < wanted.size() && wanted[end].partition->topic == topic) ++end;
    ++topics;
    put_string(request, topic);
    put_big_endian(request, static_cast<std::int32_t>(end - i));
    for (; i < end; ++i) {
      put_big_endian(request, static_cast<std::int32_t>(wanted[i].partition->partition));
      put_big_endian(request, kAnyEpoch);
      put_big_endian(request, wanted[i].offset);
      put_big_endian<std::int64_t>(request, -1);  // the log start offset of a replica
      put_big_endian(request, static_cast<std::int32_t>(wanted[i].max_bytes));
    }
  }
  put_big_endian<std::int32_t>(request, 0);  // no forgotten topics
  Buffer count;
  put_big_endian(count, topics);
  std::memcpy(request.data() + topics_at, count.data(), count.size());
  finish(request);
  return request;
}

Result<bool> knows_fetch(std::string_view body) {
  constexpr std::size_t kHead = 6;
  constexpr std::size_t kEntry = 6;
  if (body.size() < kHead || get<std::int16_t>(body.data()) != 0)
    return fail(ErrorKind::kCorrupt, "it does not answer like a Kafka broker");
  const auto count = get<std::int32_t>(body.data() + 2);
  if (count < 0 || static_cast<std::size_t>(count) > (body.size() - kHead) / kEntry)
    return fail(ErrorKind::kCorrupt, "it does not answer like a Kafka broker");
  for (const char* at = body.data() + kHead; at < body.data() + kHead + static_cast<std::size_t>(count) * kEntry;
       at += kEntry) {
    if (get<std::int16_t>(at) == kFetch)
      return get<std::int16_t>(at + 2) <= kFetchVersion && get<std::int16_t>(at + 4) >= kFetchVersion;
  }
  return false;
}

}  // namespace mephisto::kafka::wire
