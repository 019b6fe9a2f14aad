#pragma once

#define MEPHISTO_VERSION "0.1.0"
