// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Speech
import Testing

@Suite struct TimeTests {
  @Test func samplesAndRowsAreTheNearest() {
    let time = RunningTime(nanoseconds: 40_000_000)
    #expect(time.sample == 640)
    #expect(time.row == 4)
    #expect(RunningTime(nanoseconds: 39_999_999).sample == 640)
    #expect(RunningTime(nanoseconds: 39_999_999).row == 4)
    #expect(RunningTime(nanoseconds: 33_366_666).row == 3)
    #expect(RunningTime(nanoseconds: 35_000_000).row == 4)
    #expect(RunningTime(nanoseconds: 31_249).sample == 0)
    #expect(RunningTime(nanoseconds: 31_250).sample == 1)
  }

  @Test func everySampleHasItsOwnTime() {
    for sample in [0, 1, 441, 16_000, 1 << 40] as [Int64] {
      #expect(RunningTime(sample: sample).sample == sample)
    }
    #expect(RunningTime(sample: 16_000).nanoseconds == 1_000_000_000)
  }

  @Test func nothingOverflows() {
    let forever = RunningTime(nanoseconds: .max)
    #expect(forever.sample == 295_147_905_179_353)
    #expect(forever.row == 1_844_674_407_371)
    #expect(RunningTime(sample: .max) == forever)
    #expect(RunningTime(sample: .min).nanoseconds == 0)
    #expect(forever.advanced(by: 1) == forever)
    #expect(forever.advanced(by: .min).nanoseconds == UInt64(Int64.max))
    #expect(RunningTime(nanoseconds: 5).advanced(by: -6).nanoseconds == 0)
    #expect(RunningTime(nanoseconds: 5).advanced(by: -4).nanoseconds == 1)
    #expect(RunningTime(nanoseconds: 5).advanced(by: .max).nanoseconds == UInt64(Int64.max) + 5)
  }
}
