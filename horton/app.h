// Horton: collects market data of securities from AlphaVantage into documents.
#pragma once

#include "horton/alphavantage.h"
#include "horton/budget.h"
#include "horton/documents.h"
#include "horton/records.h"
#include "mephisto/mephisto.h"

namespace horton {

// The app with its settings; agents.cc and commands.cc add to it.
mephisto::App& app();

ServiceConfig service_config();
// Throws Failure (kInvalid) when the service is the real one and there is no key for it.
void check_api_key();
// Opened by the first call.
Documents& documents();
Collection securities();
Budget& budget();

// The agents (agents.cc).
extern mephisto::Agent<mephisto::None, bool>& collect_securities;
extern mephisto::Agent<CollectSecurityOverview, bool>& collect_security_overview;
// bars_agents.cc. BarsCollected goes into the table of extremes too.
extern mephisto::Agent<CollectHistorical, BarsCollected>& collect_historical;
extern mephisto::Agent<CollectBars, bool>& collect_bars;
extern mephisto::Agent<CollectLastPrice, bool>& collect_last_price;
extern mephisto::Table<SecurityKey, SecurityExtremes>& extremes_table;

// The stand-in market server: AlphaVantage's functions from files (market.cc, market_bars.cc).
struct MarketOptions {
  int port = 8642;
  static constexpr bool kWithoutLog = true;
  std::optional<std::string> data;  // folder; empty: the built-in one
  int securities = 0;               // 0: those in the files; more: synthetic ones by a seed, marked as such
  double quota = 0;                 // share of replies that are a quota notice
  double premium = 0;               // … a notice that the key may not use the function
  double blocked = 0;               // … a notice that the key is blocked
  double inputs = 0;                // … a notice of invalid inputs
  double limited = 0;               // … status 429
  double error = 0;                 // … an error message
  double unknown = 0;               // … an unknown symbol
  double fail = 0;                  // … status 500
  int down = 0;                     // all replies are status 503 for this many seconds after the first overview
  int retry_after = 0;              // seconds in the Retry-After of 429 and 503; 0: no such header
  double cut = 0;                   // … cut in the middle
  double slow = 0;                  // … late by `slow_ms`
  int slow_ms = 2000;
  int every = 0;  // every Nth call gets a fault, of all kinds in turn
  std::uint64_t seed = 1;
  std::string bind = "127.0.0.1";
  static std::vector<mephisto::OptionHelp> help();
};
mephisto::Task<void> run_market(MarketOptions options, bool json = false);

}  // namespace horton
