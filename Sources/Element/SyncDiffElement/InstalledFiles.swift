// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Where the model and the presets are.

import Glibc
import GstSyncDiff

/// $SYNCDIFF_MODEL, else the file beside the plugin, else in the source tree around it, else the one installed with it.
package func defaultModel() -> String {
  if let path = getenv("SYNCDIFF_MODEL"), path.pointee != 0 { return String(cString: path) }
  let beside = "\(pluginFolder())/models/syncdiff.safetensors"
  if access(beside, R_OK) == 0 { return beside }
  let installed = "share/syncdiff/syncdiff.safetensors"
  return around("meta/models/syncdiff.safetensors") ?? around(installed) ?? "/usr/\(installed)"
}

/// The folder beside the plugin, else in the source tree around it, else the one installed with it: GStreamer itself looks
/// only where it is installed, and in the user's folder.
package func presetFolder() -> String? {
  let beside = "\(pluginFolder())/presets"
  return access(beside, R_OK) == 0 ? beside : around("meta/presets") ?? around("share/gstreamer-1.0/presets")
}

/// A file or folder in the source tree where the plugin or program was built, or in the prefix where it is installed; nil if
/// there is none.
package func around(_ file: String) -> String? {
  var folder = pluginFolder()
  while let slash = folder.lastIndex(of: "/") {
    folder = String(folder[..<slash])
    let path = "\(folder)/\(file)"
    if access(path, R_OK) == 0 { return path }
  }
  return nil
}

/// The folder of the file that contains this code: the plugin, or a program that links the element.
private func pluginFolder() -> String {
  // A program found through $PATH is known by its bare name.
  let name = gst_sync_diff_file_name().map { String(cString: $0) } ?? ""
  guard let path = realpath(name.contains("/") ? name : "/proc/self/exe", nil) else { return "" }
  defer { free(path) }
  let file = String(cString: path)
  return file.lastIndex(of: "/").map { String(file[..<$0]) } ?? ""
}
