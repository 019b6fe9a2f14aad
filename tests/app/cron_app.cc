// A crontab for each second. Its runs are in the topic `ran`, each with the second for which it ran, and counted in the
// table `runs`. tests/end_to_end/cron_test.py kills it at every step of a slot's life.
#include "mephisto/mephisto.h"

using namespace mephisto;

namespace {

App app{"ticking"};
const auto& ran = app.topic<std::int64_t>("ran", {.partitions = 1, .internal = true});

CrontabOptions every_slot() {
  CrontabOptions options;
  options.catch_up = CatchUp::kAll;
  options.on_error.retries = 1000;
  options.help = "notes each second";
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  app.crontab(
      "tick", "* * * * * *",
      [](const CronSlot& slot) -> Task<void> {
        co_await ran.cast(std::chrono::floor<std::chrono::seconds>(slot.time).time_since_epoch().count());
      },
      every_slot());
  app.crontab("yearly", "0 0 1 1 *", []() -> Task<void> { co_return; }, {.timezone = "Europe/Berlin"});
  return app.main(argc, argv);
}
