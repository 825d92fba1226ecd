// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Convolutions and matrix products on Intel's tile unit (AMX): bf16 or, *split*, f32 as the sum of two bf16, multiplied in
// three products. Intrinsics, hence C. Nothing here may run before `ctiles_permitted` has returned true.
//
// A picture lies as bf16 `[rows][left + width + right][channels]`. The zeros at the left of a row are also those at the right
// of the row before. An output pixel reads, of every kernel row, values that lie side by side, and the pixel after it the
// same `step` values further on, across the ends of rows: each kernel row is a plain matrix product. What comes out where the
// kernel hangs over the end of a row is thrown away.
//
// At a stride of n every n-th row lies together, n times, so that output rows need not skip any. Where channels are few, some
// output pixels beside each other count as one with all their channels: they share what they read.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ctiles_activation {
  ctiles_none,
  ctiles_relu,
  ctiles_silu,
  ctiles_gelu,      // the tanh approximation
  ctiles_erf_gelu,  // x times the normal distribution at x
  ctiles_prelu,     // negative values times the slope of their channel; of a convolution only
};

enum {
  ctiles_side = 16,   // pixels and output channels of a tile of sums
  ctiles_depth = 32,  // products of a tile of inputs or weights
  ctiles_size = ctiles_side * ctiles_depth,
};

/// `activation(x * factor + offset)` of `[height, width, channels]`, with zeros around.
typedef struct {
  const float *input;
  int height, width, channels;
  int top, left, right;         // rows and columns of zeros
  int rows;                     // in all, zeros included
  int stride;                   // row y is number y / stride
  size_t plane;                 // of those that begin y % stride times so many values behind the first
  const float *factor, *offset; // [channels], or null
  enum ctiles_activation activation;
} ctiles_picture;

/// All counts of the input in values.
typedef struct {
  const uint16_t *input;
  size_t rest;              // from a value to what its rounding left, split; or 0
  const uint16_t *weights;  // [16 outputs][kernel rows][depths] tiles [32 / 2][16][2], split: each followed by its rest
  int kernel_rows, depths;  // tiles of 32 products that a kernel row takes
  size_t step, row;         // from pixel to pixel, from a row to the one that lies next
  int stride;               // of the picture, and
  size_t plane;
  int pitch, width;         // pixels of an output row with and without those that are thrown away
  float *output;            // [.., width, channels]
  int channels;
  const float *bias;      // [channels], up to whole tiles
  const float *residual;  // like the output, or null
  const float *slope;     // of ctiles_prelu, [channels] up to whole tiles
  enum ctiles_activation activation;
} ctiles_convolution;

/// A 3 x 3 convolution of every channel by itself, on its way into a matrix product.
typedef struct {
  const float *input;  // [height, width, channels]
  int height, width, channels;
  int top, left;       // rows and columns of zeros before the picture; behind it as many as are needed
  int stride;
  int columns;            // of the output
  const float *weights;   // [9, channels]
  const float *bias;      // [channels]
} ctiles_depthwise;

/// Whether processor and system have the tile unit and its bf16.
bool ctiles_supported(void);

/// Asks the system for the unit, for the whole process; true from then on. It refuses where a thread has a signal stack that
/// is too small for tiles, and once it has agreed it refuses such stacks.
bool ctiles_permitted(void);

/// Writes rows `first ..< end` of the padded picture whose row 0 is at `output`; behind the last one also zeros for one
/// more `left` and `ctiles_depth` values. rest: as above.
void ctiles_pad(const ctiles_picture *picture, int first, int end, uint16_t *output, size_t rest);

/// Writes rows `first ..< end` of the output as bf16 `[rows, columns, channels]` with row 0 at `output`. rest: as above.
void ctiles_convolve_depthwise(const ctiles_depthwise *convolution, int first, int end, uint16_t *output, size_t rest);

/// `activation(sum + bias + residual)` of output pixels `first ..< end`, counted with those that are thrown away, and output
/// channels 16 `from` ..< 16 `to`. `first` is a multiple of 16. Up to 16 steps behind the last pixel's input are read.
void ctiles_convolve(const ctiles_convolution *convolution, int first, int end, int from, int to);
