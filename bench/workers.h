// Workers and clients that several benchmarks share.
#pragma once

#include <string>
#include <vector>

#include "bench.h"

namespace mephisto::bench {

// Runs the app's worker on the log at `url` until it is killed.
int serve(App& app, const std::string& url);

Results<int> square(Stream<int> numbers);

// Asks an agent for squares, one request after another. Returns the milliseconds of each, in ascending order.
std::vector<double> round_trips(Agent<int, int>& squares, App& app, const std::string& url, int count,
                                const AskOptions& options);

}  // namespace mephisto::bench
