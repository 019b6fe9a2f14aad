#include "customer_totals.h"

int main(int argc, char** argv) { return app.main(argc, argv); }
