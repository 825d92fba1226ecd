// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The CPU limit of this process's control groups (containers, systemd's CPUQuota). A process that exceeds it is
// throttled for the rest of each 0.1 s period. Linux's cgroups(7), v1 and v2, and proc(5) for mountinfo.

import Glibc

/// The number of processors the process may keep busy, such as 1.5; nil: no limit.
func processorQuota() -> Double? {
  guard let mounts = text(of: "/proc/self/mountinfo"), let groups = text(of: "/proc/self/cgroup") else { return nil }
  return processorQuota(mounts: mounts, groups: groups, read: text(of:))
}

/// `mounts`, `groups`: the contents of /proc/self/mountinfo and /proc/self/cgroup. `read`: reads other files.
package func processorQuota(mounts: String, groups: String, read: (String) -> String?) -> Double? {
  let groups = groups.split(separator: "\n").map {
    $0.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
  }
  var least: Double?
  for mount in mounts.split(separator: "\n") {
    let fields = mount.split(separator: " ")
    guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 3 else { continue }
    let isSecond = fields[dash + 1] == "cgroup2"
    guard isSecond || (fields[dash + 1] == "cgroup" && fields[dash + 3].split(separator: ",").contains("cpu")) else {
      continue
    }
    let group = groups.first {
      $0.count == 3 && (isSecond ? $0[0] == "0" : $0[1].split(separator: ",").contains("cpu"))
    }
    guard let group else { continue }
    // A container may see only a subtree, whose root differs from the root of the group names.
    let (root, place) = (fields[3] == "/" ? "" : String(fields[3]), String(fields[4]))
    var folder = place
    if group[2].hasPrefix(root + "/"), !group[2].hasPrefix("/..") { folder += group[2].dropFirst(root.count) }
    while folder.count >= place.count {
      if let quota = quota(of: folder, second: isSecond, read) { least = min(least ?? quota, quota) }
      folder = String(folder[..<(folder.lastIndex(of: "/") ?? folder.startIndex)])
    }
  }
  return least
}

private func quota(of folder: String, second: Bool, _ read: (String) -> String?) -> Double? {
  let text =
    second
    ? read("\(folder)/cpu.max")
    : read("\(folder)/cpu.cfs_quota_us").flatMap { quota in
      read("\(folder)/cpu.cfs_period_us").map { "\(quota) \($0)" }
    }
  // "max" and -1 mean no limit.
  let numbers = (text ?? "").split(whereSeparator: \.isWhitespace).map { Double($0) ?? -1 }
  guard numbers.count == 2, numbers[0] > 0, numbers[1] > 0 else { return nil }
  return numbers[0] / numbers[1]
}

private func text(of path: String) -> String? {
  guard let file = fopen(path, "re") else { return nil }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 4096)
  while true {
    let count = fread(&buffer, 1, buffer.count, file)
    if count == 0 { return String(decoding: bytes, as: UTF8.self) }
    bytes += buffer[..<count]
  }
}
