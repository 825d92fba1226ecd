// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Tensors
import Testing

@Suite struct ProcessorQuotaTests {
  struct Case: CustomTestStringConvertible {
    let testDescription: String
    let mounts, groups: String
    let files: [String: String]
    let quota: Double?
  }

  static let second = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
  static let first = """
    33 24 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
    34 24 0:29 / /sys/fs/cgroup/cpu,cpuacct rw master:9 - cgroup cgroup rw,cpu,cpuacct

    """

  static let cases = [
    Case(
      testDescription: "a service", mounts: second, groups: "0::/system.slice/dub.service\n",
      files: ["/sys/fs/cgroup/system.slice/dub.service/cpu.max": "150000 100000\n"], quota: 1.5),
    Case(
      testDescription: "a container that sees its group as the root", mounts: second, groups: "0::/\n",
      files: ["/sys/fs/cgroup/cpu.max": "50000 100000\n"], quota: 0.5),
    Case(
      testDescription: "the tightest of all groups above counts", mounts: second, groups: "0::/a/b/c\n",
      files: [
        "/sys/fs/cgroup/a/b/c/cpu.max": "max 100000\n", "/sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
        "/sys/fs/cgroup/a/cpu.max": "200000 100000\n",
      ], quota: 2),
    Case(
      testDescription: "no limit", mounts: second, groups: "0::/a\n",
      files: ["/sys/fs/cgroup/a/cpu.max": "max 100000\n"], quota: nil),
    Case(
      testDescription: "version 1", mounts: first, groups: "4:memory:/b\n3:cpu,cpuacct:/a\n0::/\n",
      files: [
        "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "300000\n",
        "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
        "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
      ], quota: 3),
    Case(
      testDescription: "version 1, of which a part is mounted",
      mounts: "34 24 0:29 /docker/x /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", groups: "3:cpu:/docker/x\n",
      files: ["/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "25000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "50000\n"],
      quota: 0.5),
    Case(
      testDescription: "both versions", mounts: first + second, groups: "3:cpu,cpuacct:/a\n0::/a\n",
      files: ["/sys/fs/cgroup/a/cpu.max": "100000 100000\n"], quota: 1),
    Case(
      testDescription: "a group outside of what is seen", mounts: second, groups: "0::/../x\n",
      files: ["/sys/fs/cgroup/cpu.max": "200000 100000\n", "/sys/fs/cgroup/../x/cpu.max": "1 100000\n"], quota: 2),
    Case(
      testDescription: "nonsense", mounts: second + "- -\n\n1 2 3 4 5 -", groups: "0:\n\n0::/a\n",
      files: ["/sys/fs/cgroup/a/cpu.max": "many\n", "/sys/fs/cgroup/cpu.max": "100000 0 7\n"], quota: nil),
    Case(testDescription: "no groups", mounts: "", groups: "", files: [:], quota: nil),
  ]

  @Test(arguments: cases) func leastOfAll(_ c: Case) {
    #expect(processorQuota(mounts: c.mounts, groups: c.groups) { c.files[$0] } == c.quota)
  }

  @Test func thisProcessComputes() { #expect(ThreadPool.shared.processors >= 1) }
}
