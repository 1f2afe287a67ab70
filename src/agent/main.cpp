#include "agent/verbs.h"

int main(int argc, char** argv) { return signet::run_agent(argc, argv); }
