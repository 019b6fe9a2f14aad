// What comes from others by OpenTelemetry's formats: answers of collectors, and the header traceparent.
#include "fuzz.h"
#include "mephisto/stream/trace_context.h"
#include "web/otlp.h"
#include "web/protobuf.h"

namespace mephisto::fuzz {

std::vector<std::string> seeds() {
  const auto partial = protobuf::Message{}.number(1, 3).text(2, "too old");
  return {protobuf::Message{}.message(1, partial).bytes(),
          protobuf::Message{}.number(1, 3).text(2, "no such tenant").bytes(),
          protobuf::Message{}.fixed(1, 3).real(9, 0.5).change(3, -4).bytes(),
          R"({"partialSuccess":{"rejectedSpans":"3"}})",
          "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
          "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"};
}

void take(std::string_view input) {
  const auto bytes = exact(input);
  const std::string_view text{bytes.data(), bytes.size()};
  for (const auto& why : {rejected_by_collector(text).why, refusal_of_collector(text)})
    promise(why.find_first_of("\r\n\x1b") == std::string::npos, "a reason stays on its line");
  if (const auto context = detail::TraceContext::parse(text)) {
    promise(detail::TraceContext::parse(context->str()) == context, "a context reads back the same");
    promise(context->str().substr(3, 50) == text.substr(3, 50), "its ids are those of the text");
  }
}

}  // namespace mephisto::fuzz
