// What sends a topic's records on to another topic, as they are: through() with their keys, group_by() with other keys.
// See app.h.
#pragma once

#include <concepts>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "mephisto/agent.h"

namespace mephisto {

struct RepartitionOptions {
  int partitions = 0;    // 0: as many as the source
  std::string prefix{};  // begins the topic's name; in Faust the name of the agent whose stream is grouped
  ErrorPolicy on_error{};
  std::string help{};
};

namespace detail {

class Collector;
struct TopicHandle;

// An agent that sends records on.
class Forwarder : public AgentBase {
 public:
  // With `by_key`, a record without a key is an error.
  Forwarder(std::string name, TopicSpec from, TopicSpec to, AgentOptions options, bool by_key)
      : AgentBase(std::move(name), std::move(from), std::move(options)), to_(std::move(to)), by_key_(by_key) {}
  Task<void> run(Instance& instance) const override;

 protected:
  // The way to the other topic.
  class Way {
   public:
    Way(Collector& collector, const TopicHandle& to) : collector_(collector), to_(to) {}
    bool has_room() const;
    Task<void> room();
    // Sends the event's record on under `key`, with its bytes, time and headers. Whoever consumes the other topic
    // answers a request.
    void send(Slot& slot, std::optional<std::string> key);

   private:
    Collector& collector_;
    const TopicHandle& to_;
  };
  Task<Way> open() const;

 private:
  TopicSpec to_;
  bool by_key_;
};

// The text of a key; no value: there is no key.
template <class K>
std::optional<std::string> key_text(const K& key) {
  if constexpr (requires { key.has_value(); })
    return key ? key_text(*key) : std::nullopt;
  else if constexpr (std::integral<K>)
    return std::to_string(key);
  else
    return std::string{std::string_view{key}};
}
template <class K>
constexpr bool is_text_or_integer =
    std::convertible_to<const K&, std::string_view> || (std::integral<K> && !std::is_same_v<K, bool>);
template <class K>
constexpr bool is_text_or_integer<std::optional<K>> = is_text_or_integer<K>;
template <class Key, class T>
constexpr bool takes_the_value = std::is_invocable_v<const Key&, const T&>;

template <class Key, class T>
consteval bool check_key() {
  if constexpr (!takes_the_value<Key, T>)
    static_assert(takes_the_value<Key, T>, "the key is a function of the topic's value, or a member of it: &Order::id");
  else if constexpr (!is_text_or_integer<std::remove_cvref_t<std::invoke_result_t<const Key&, const T&>>>)
    static_assert(is_text_or_integer<std::remove_cvref_t<std::invoke_result_t<const Key&, const T&>>>,
                  "a key is a text or an integer, perhaps std::optional");
  else
    return true;
  return false;
}

template <class T, class Key>
class GroupBy : public Forwarder {
 public:
  GroupBy(std::string name, TopicSpec from, TopicSpec to, AgentOptions options, Key key)
      : Forwarder(std::move(name), std::move(from), std::move(to), std::move(options), true), key_(std::move(key)) {}

  Task<void> run(Instance& instance) const override {
    auto way = co_await open();
    Stream<T> stream{std::make_shared<SourceNode<T>>(instance, topic_.value_codec)};
    while (auto event = co_await stream.next()) {
      auto key = key_text(std::invoke(key_, std::as_const(*event)));
      if (!key) throw Failure(ErrorKind::kInvalid, "the function of group_by gives no key for this record");
      if (!way.has_room()) co_await way.room();
      way.send(*event_of(instance), std::move(key));
    }
  }

 private:
  Key key_;
};

}  // namespace detail
}  // namespace mephisto
