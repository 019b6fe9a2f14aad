#include "card_fraud.h"

int main(int argc, char** argv) { return app.main(argc, argv); }
