// A connection to a broker whose name is not looked up in time.
#include "log/kafka/fetcher.h"

#include <gmock/gmock.h>

#include <functional>
#include <thread>

#include "mephisto/sync.h"
#include "support/slow_lookup.h"

namespace mephisto::test {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

class KafkaFetcher : public tests::SlowLookup, private kafka::Fetcher::Owner {
 protected:
  std::shared_ptr<kafka::Fetcher> fetch_from(Loop& loop, const std::string& host) {
    auto fetcher = std::make_shared<kafka::Fetcher>(loop, kafka::BrokerAddress{1, host, 1}, "test",
                                                    static_cast<kafka::Fetcher::Owner&>(*this));
    fetcher->run();
    return fetcher;
  }
  static Task<void> until(std::function<bool()> condition) {
    while (!condition()) co_await sleep_for(1ms);  // between two looks
  }

  std::string lost_by;

 private:
  kafka::Fetcher::Request next_request(int) override { return {}; }
  void fetched(int, kafka::FetchedPartition) override {}
  void lost(int, const Error& error) override { lost_by = error.message; }
};

TEST_F(KafkaFetcher, StopsWithoutWaitingForALookup) {
  {
    Loop loop;
    auto fetcher = fetch_from(loop, "slow.test");
    loop.run(until([] { return lookups() == 1; }));
    fetcher->stop();
  }
  EXPECT_EQ(lookups(), 1) << "it is left behind";
  EXPECT_EQ(lost_by, "");
}

TEST_F(KafkaFetcher, ConnectsToWhatIsFound) {
  Loop loop;
  std::thread end{let_go};
  auto fetcher = fetch_from(loop, "slow.test");
  loop.run(until([&] { return !lost_by.empty(); }));
  end.join();
  EXPECT_THAT(lost_by, AllOf(HasSubstr("broker 1 at slow.test:1: "), HasSubstr("Connection refused")));
}

TEST_F(KafkaFetcher, ANameThatIsNotThereIsSaid) {
  Loop loop;
  auto fetcher = fetch_from(loop, "gone.test");
  loop.run(until([&] { return !lost_by.empty(); }));
  EXPECT_THAT(lost_by, HasSubstr("broker 1 at gone.test:1: its name cannot be looked up: Host not found"));
}

}  // namespace
}  // namespace mephisto::test
