// swift-tools-version: 6.2
// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// The kernels need wide vectors; other processors are refused at start (Tensors.processorProblem).
#if arch(x86_64)
  let processor = ["-Xcc", "-march=x86-64-v3"]
#else
  let processor: [String] = []
#endif

// Imports go one way: what stands higher knows nothing of what stands lower.
let package = Package(
  name: "syncdiff",
  products: [
    .library(name: "gstsyncdiff", type: .dynamic, targets: ["SyncDiffPlugin"]),
    .executable(name: "syncdiff", targets: ["SyncDiffTool"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0")
  ],
  targets: [
    .target(name: "Kernels", swiftSettings: [.unsafeFlags(["-Ounchecked"] + processor)]),
    .target(name: "CTensors"),
    .target(name: "Tensors", dependencies: ["Kernels", "CTensors"]),
    .target(name: "Speech", dependencies: ["Tensors"]),
    .target(name: "Faces", dependencies: ["Tensors"]),
    .target(name: "Diffusion", dependencies: ["Tensors"]),
    .target(name: "SyncDiff", dependencies: ["Speech", "Faces", "Diffusion"]),
    .systemLibrary(
      name: "CGStreamer", pkgConfig: "gstreamer-video-1.0 gstreamer-audio-1.0"),
    .systemLibrary(name: "CGStreamerTools", pkgConfig: "gstreamer-pbutils-1.0"),
    .target(name: "GstSyncDiff", dependencies: ["CGStreamer"]),
    .target(
      name: "SyncDiffElement", dependencies: ["SyncDiff", "Faces", "Speech", "Tensors", "GstSyncDiff", "CGStreamer"]),
    .target(
      name: "SyncDiffPlugin", dependencies: ["SyncDiffElement"],
      linkerSettings: [.unsafeFlags(["-static-stdlib"])]),
    .executableTarget(
      name: "SyncDiffTool",
      dependencies: [
        "SyncDiffElement", "SyncDiff", "Diffusion", "Faces", "Speech", "Tensors", "CTensors", "GstSyncDiff",
        "CGStreamer", "CGStreamerTools",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .target(name: "TestSupport", dependencies: ["Tensors"], path: "Tests/TestSupport"),
    .testTarget(name: "TensorsTests", dependencies: ["Tensors", "TestSupport"], exclude: ["Golden"]),
    .testTarget(name: "SpeechTests", dependencies: ["Speech", "TestSupport"], exclude: ["Golden"]),
    .testTarget(name: "FacesTests", dependencies: ["Faces", "TestSupport"], exclude: ["Golden"]),
    .testTarget(name: "DiffusionTests", dependencies: ["Diffusion", "TestSupport"], exclude: ["Golden"]),
    .testTarget(name: "SyncDiffTests", dependencies: ["SyncDiff", "TestSupport"]),
    .systemLibrary(name: "CGStreamerCheck", path: "Tests/CGStreamerCheck", pkgConfig: "gstreamer-check-1.0"),
    .testTarget(
      name: "ElementTests",
      dependencies: ["SyncDiffElement", "GstSyncDiff", "CGStreamer", "CGStreamerCheck", "Speech", "TestSupport"]),
    .testTarget(name: "ToolTests", dependencies: ["SyncDiffTool"]),
  ],
  swiftLanguageModes: [.v6]
)
