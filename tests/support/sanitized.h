// Whether the tests are built with a sanitizer. Tests that try many random cases try fewer then, because each takes 10
// to 40 times as long; the release build tries all.
#pragma once

namespace mephisto::tests {

#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace mephisto::tests
