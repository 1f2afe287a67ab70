// The unit tests; and, as the agent does, its own decoder and way into a target.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <string_view>

#include "configure/inside.h"
#include "image/decoder.h"

int main(int argc, char** argv) {
  if (argc > 1 && argv[1] == signet::decoder_verb) return signet::run_decoder(argc - 1, argv + 1);
  if (argc > 1 && argv[1] == signet::inside_verb) return signet::run_inside(argc - 1, argv + 1);
  return doctest::Context(argc, argv).run();
}
