// Reads the asker from a record's headers or from the envelope around its value. Faust writes both.
#include "fuzz.h"
#include "mephisto/agent/instance.h"
#include "mephisto/agent.h"

namespace mephisto::fuzz {
namespace {

std::optional<detail::ReplyAddress> address_of(std::string_view value, std::string_view headers) {
  auto batch = std::make_shared<Batch>();
  auto& record = batch->records.emplace_back();
  record.value = json::padded_copy(value);
  record.headers = HeadersView{headers.data(), static_cast<std::uint32_t>(headers.size())};
  detail::Slot slot;
  slot.batch = detail::BatchUse{new detail::DeliveredBatch{std::move(batch), nullptr}};
  return detail::reply_address(slot);
}

}  // namespace

std::vector<std::string> seeds() {
  return {
      R"({"value":{"symbol":"A"},"reply_to":"f-reply-1","correlation_id":"c-1","__faust":{"ns":"@ReqRepRequest"}})",
      R"({"__faust":{"ns":"faust.agents.models.ModelReqRepRequest"},"correlation_id":null,"reply_to":"t","value":[1,"ReqRepRequest"]})",
      std::string{"\x11"} + std::string{detail::kReplyToHeader} + "\x02t" + "\x18" +
          std::string{detail::kCorrelationHeader} + "\x03id",
  };
}

void take(std::string_view input) {
  const auto bytes = exact(input);
  const std::string_view whole{bytes.data(), bytes.size()};
  auto by_value = address_of(whole, {});
  if (by_value) promise(detail::maybe_envelope(whole), "an envelope is always recognised as a possible one");
  const HeadersView headers{whole.data(), static_cast<std::uint32_t>(whole.size())};
  auto by_headers = address_of("null", whole);
  auto listed = headers.copy();
  promise(listed.size() == headers.list().size(), "headers are the same every time");
  if (by_headers)
    promise(headers.find(detail::kReplyToHeader).has_value(), "an asker's headers include the reply topic");
}

}  // namespace mephisto::fuzz
