// swift-tools-version: 6.2
// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// The kernels are compiled once for every instruction set, from the same folder (the others are links to it, since SwiftPM
// lets no two targets share one); Sources/Compute/Tensors/Processor.swift chooses among them at start.
let instructionSets: [(target: String, folder: String, flags: [String])] = {
  let generic = ("KernelsGeneric", "Kernels", [String]())
  #if arch(x86_64)
    return [
      generic, ("KernelsV3", "KernelsV3", ["-DAVX2", "-Xcc", "-march=x86-64-v3"]),
      ("KernelsAVX512", "KernelsAVX512", ["-DAVX2", "-DAVX512", "-Xcc", "-march=x86-64-v4"]),
      (
        "KernelsBF16", "KernelsBF16",
        ["-DAVX2", "-DAVX512", "-DBF16", "-Xcc", "-march=x86-64-v4", "-Xcc", "-mavx512bf16"]
      ),
    ]
  #else
    return [generic]
  #endif
}()

// libFuzzer brings its own main, so its program can only be built with --sanitize fuzzer (meta/scripts/fuzz).
let fuzzer: [Target] =
  Context.environment["SYNCDIFF_FUZZ"] == nil
  ? []
  : [
    .executableTarget(
      name: "FuzzModel", dependencies: ["Fuzzing"], path: "Tests/FuzzModel",
      swiftSettings: [.unsafeFlags(["-parse-as-library"])])
  ]

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
  targets: instructionSets.map { set in
    .target(
      name: set.target, dependencies: ["CKernels", "KernelInterface"], path: "Sources/Compute/\(set.folder)",
      swiftSettings: [.unsafeFlags(["-Ounchecked"] + set.flags)])
  } + [
    .target(name: "CKernels", path: "Sources/Compute/CKernels"),
    .target(name: "KernelInterface", path: "Sources/Compute/KernelInterface"),
    // Links the kernels, which Tensors does not import but finds by name (Processor.swift).
    .target(
      name: "CTensors", dependencies: instructionSets.map { Target.Dependency(stringLiteral: $0.target) },
      path: "Sources/Compute/CTensors"),
    .target(name: "CTiles", path: "Sources/Compute/CTiles"),
    .target(name: "Tensors", dependencies: ["KernelInterface", "CTensors", "CTiles"], path: "Sources/Compute/Tensors"),
    .target(name: "Speech", dependencies: ["Tensors"]),
    .target(name: "Faces", dependencies: ["Tensors", "KernelInterface"]),
    .target(name: "Diffusion", dependencies: ["Tensors"]),
    .target(name: "SyncDiff", dependencies: ["Speech", "Faces", "Diffusion"]),
    .systemLibrary(
      name: "CGStreamer", path: "Sources/Element/CGStreamer", pkgConfig: "gstreamer-video-1.0 gstreamer-audio-1.0"),
    .systemLibrary(
      name: "CGStreamerTools", path: "Sources/Tool/CGStreamerTools",
      pkgConfig: "gstreamer-pbutils-1.0 gstreamer-controller-1.0"),
    .target(name: "GstSyncDiff", dependencies: ["CGStreamer"], path: "Sources/Element/GstSyncDiff"),
    .target(
      name: "SyncDiffElement", dependencies: ["SyncDiff", "Faces", "Speech", "Tensors", "GstSyncDiff", "CGStreamer"],
      path: "Sources/Element/SyncDiffElement"),
    .target(
      name: "SyncDiffPlugin", dependencies: ["SyncDiffElement"], path: "Sources/Element/SyncDiffPlugin",
      linkerSettings: [.unsafeFlags(["-static-stdlib"])]),
    .executableTarget(
      name: "SyncDiffTool",
      dependencies: [
        "SyncDiffElement", "SyncDiff", "Diffusion", "Faces", "Speech", "Tensors", "CTensors", "GstSyncDiff",
        "CGStreamer", "CGStreamerTools",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], path: "Sources/Tool/SyncDiffTool"),
    .target(name: "TestSupport", dependencies: ["KernelInterface", "SyncDiff", "Tensors"], path: "Tests/TestSupport"),
    .executableTarget(name: "SmallStacks", dependencies: ["Tensors"], path: "Tests/SmallStacks"),
    .target(
      name: "Fuzzing", dependencies: ["SyncDiff", "Faces", "Speech", "Tensors"], path: "Tests/Fuzzing",
      exclude: ["Corpus"]),
    .testTarget(
      name: "TensorsTests", dependencies: ["Tensors", "KernelInterface", "CTensors", "SmallStacks", "TestSupport"],
      exclude: ["Golden"]),
    .testTarget(name: "SpeechTests", dependencies: ["Speech", "TestSupport"], exclude: ["Golden"]),
    .testTarget(name: "FacesTests", dependencies: ["Faces", "TestSupport"], exclude: ["Golden"]),
    .testTarget(name: "DiffusionTests", dependencies: ["Diffusion", "TestSupport"], exclude: ["Golden"]),
    .testTarget(name: "SyncDiffTests", dependencies: ["SyncDiff", "Fuzzing", "CTensors", "TestSupport"]),
    .systemLibrary(name: "CGStreamerCheck", path: "Tests/CGStreamerCheck", pkgConfig: "gstreamer-check-1.0"),
    .testTarget(
      name: "ElementTests",
      dependencies: [
        "SyncDiffElement", "SyncDiff", "GstSyncDiff", "CGStreamer", "CGStreamerCheck", "CTensors", "Speech", "Tensors",
        "TestSupport",
      ]),
    .testTarget(name: "ToolTests", dependencies: ["SyncDiffTool", "TestSupport"]),
  ] + fuzzer,
  swiftLanguageModes: [.v6]
)
