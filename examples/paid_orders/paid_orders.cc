#include "paid_orders.h"

int main(int argc, char** argv) { return app.main(argc, argv); }
