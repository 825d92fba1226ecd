// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Convolutions and matrix products on Intel's tile unit (AMX), in bf16 or, *split*, with every f32 as the sum of two
// bf16, multiplied in three products. In C, because these are intrinsics. Nothing here may run before
// `ctiles_permitted` has returned true.
//
// An image is stored as bf16 `[rows][left + width + right][channels]`. The zeros at the left of a row are also those at
// the right of the row before. For every kernel row, an output pixel reads contiguous values, and the next pixel reads
// the same `step` values further on, even across the ends of rows, so each kernel row is a plain matrix product.
// Results where the kernel straddles the end of a row are discarded.
//
// At a stride of n, every n-th row is stored together, in n planes, so that output rows need not skip input rows. Where
// there are few channels, some adjacent output pixels are computed as one with the channels of all of them, so that
// they share what they read.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ctiles_activation {
  ctiles_none,
  ctiles_relu,
  ctiles_silu,
  ctiles_gelu,      // the tanh approximation
  ctiles_erf_gelu,  // x times the normal CDF of x
  ctiles_prelu,  // negative values times the slope of their channel; only for a convolution
};

enum {
  ctiles_side = 16,   // pixels and output channels of a tile of sums
  ctiles_depth = 32,  // products of a tile of inputs or weights
  ctiles_size = ctiles_side * ctiles_depth,
};

/// `activation(x * factor + offset)` of `[height, width, channels]`, zero-padded.
typedef struct {
  const float *input;
  int height, width, channels;
  int top, left, right;         // rows and columns of zeros
  int rows;  // total rows, including the zeros
  int stride;                   // row y is row y / stride of plane y % stride
  size_t plane;  // values from the start of one plane (rows with the same y % stride) to the next
  const float *factor, *offset; // [channels], or null
  enum ctiles_activation activation;
} ctiles_picture;

/// Counts in the input are in values.
typedef struct {
  const uint16_t *input;
  size_t rest;  // from a value to its rounding residue, if split; else 0
  const uint16_t *weights;  // [16 outputs][kernel rows][depths] tiles [32 / 2][16][2]; if split, each is followed by its residues
  int kernel_rows, depths;  // kernel rows; tiles of 32 products in each
  size_t step, row;  // from pixel to pixel; from a row to the next one in its plane
  int stride;  // of the image, as in `ctiles_picture`
  size_t plane;
  int pitch, width;  // pixels of an output row with and without discarded ones
  float *output;            // [.., width, channels]
  int channels;
  const float *bias;  // [channels], padded to whole tiles
  const float *residual;  // same layout as the output, or null
  const float *slope;  // for ctiles_prelu: [channels], padded to whole tiles
  enum ctiles_activation activation;
} ctiles_convolution;

/// A 3 x 3 depthwise convolution whose result goes into a matrix product.
typedef struct {
  const float *input;  // [height, width, channels]
  int height, width, channels;
  int top, left;  // rows and columns of zeros before the image; after it as many as needed
  int stride;
  int columns;            // of the output
  const float *weights;   // [9, channels]
  const float *bias;      // [channels]
} ctiles_depthwise;

/// Whether the processor and the operating system support the tile unit and its bf16.
bool ctiles_supported(void);

/// Requests the tile unit from the kernel for the whole process; true from then on. The kernel refuses if a thread has
/// an alternate signal stack too small for tiles, and after granting it refuses such stacks.
bool ctiles_permitted(void);

/// Writes rows `first ..< end` of the padded image whose row 0 is at `output`; after the last row also zeros for one
/// more `left` and `ctiles_depth` values. rest: as above.
void ctiles_pad(const ctiles_picture *picture, int first, int end, uint16_t *output, size_t rest);

/// Writes rows `first ..< end` of the output as bf16 `[rows, columns, channels]` with row 0 at `output`. rest: as above.
void ctiles_convolve_depthwise(const ctiles_depthwise *convolution, int first, int end, uint16_t *output, size_t rest);

/// `activation(sum + bias + residual)` of output pixels `first ..< end`, counted with discarded ones, and output
/// channels 16 `from` ..< 16 `to`. `first` is a multiple of 16. Reads up to 16 steps beyond the last pixel's input.
void ctiles_convolve(const ctiles_convolution *convolution, int first, int end, int from, int to);
