// Counts the views of each page by minute. Each minute has one final result, ten seconds after its end. At night, when
// nobody views a page, the clock closes the last minute.
#pragma once

#include <mephisto/mephisto.h>

using namespace mephisto;
using namespace std::chrono_literals;

struct View {
  std::string page;
  std::string user;
  Timestamp time;  // when the page was viewed, whenever the record was sent
};

inline App app{"page_views"};
inline auto& views = app.topic<View>("views", {.internal = true});  // sent by page: a page is in one partition
inline auto& finals = app.topic<Windowed<int>>("finals", {.internal = true});
inline auto& late_views = app.topic<View>("late_views", {.internal = true});
inline auto& minutes =
    app.windows<std::string>("minutes", WindowSpec::tumbling(1min, {.grace = 10s, .emit = Emit::kOnClose}),
                             [](int& count, const View&) { ++count; }, {.close_idle = 30s})
        .results_to(finals)
        .late_to(late_views);

inline auto& count = app.agent("count", views, [](Stream<View> stream) -> Task<void> {
  while (auto view = co_await stream.next()) co_await minutes.add(view->page, *view, view->time);
});
