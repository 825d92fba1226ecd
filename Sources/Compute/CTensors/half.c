// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

#include <string.h>

#include "ctensors.h"

uint16_t ctensors_to_half(float value) {
  _Float16 half = (_Float16)value;
  uint16_t bits;
  memcpy(&bits, &half, sizeof bits);
  return bits;
}

float ctensors_from_half(uint16_t bits) {
  _Float16 half;
  memcpy(&half, &bits, sizeof half);
  return (float)half;
}
