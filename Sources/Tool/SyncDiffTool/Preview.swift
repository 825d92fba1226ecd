// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CGStreamer
import Glibc
import SyncDiff
import Synchronization
import Tensors

struct Preview: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serves a local page to dub and compare the files of a folder.",
    discussion: """
      The page shows a video next to its dub, with curves of the sound and of the lips, and starts dubs into FOLDER. Only this \
      machine can reach it, and it needs no internet. Ctrl-C ends it.
      """)

  @Argument(help: "Folder to serve.", completion: .directory)
  var folder = "."

  @Option(help: "Port, 0 = any free one.")
  var port: UInt16 = 8347

  func run() throws {
    Interrupt.arm()
    gst_init(nil, nil)
    let server = try LocalServer(port: port)
    let desk = try Desk(folder)
    put("http://127.0.0.1:\(server.port)/\n", STDOUT_FILENO)
    server.serve { request, connection in
      switch (request.method, request.path) {
      case ("GET", "/"):
        // The page may not load anything from elsewhere.
        connection.answer(
          200, "text/html; charset=utf-8", previewPage,
          headers: "Content-Security-Policy: default-src 'self' 'unsafe-inline'\r\n")
      case ("GET", "/files"): connection.answer(200, "application/json", desk.files.text)
      case ("GET", "/lips"): desk.tellLips(request.query["file"] ?? "", connection)
      case ("GET", _) where request.path.hasPrefix("/media/"):
        guard let path = desk.path(of: String(request.path.dropFirst(7))) else { return connection.answer(404) }
        connection.answer(file: path, request.headers["range"])
      case ("POST", "/dub"): desk.dub(request.body, connection)
      default: connection.answer(404)
      }
    }
    desk.stop()
  }
}

/// The files of a folder, and the operations on them.
private final class Desk: Sendable {
  private let folder: String
  private let model: Model
  private let children = Mutex<Set<pid_t>>([])

  init(_ folder: String) throws {
    guard entries(of: folder) != nil else {
      throw Failure("cannot read \(folder): \(String(cString: strerror(errno)))")
    }
    (self.folder, model) = (folder, try loadModel(nil))
  }

  /// Names by what the files can be used for.
  var files: JSON {
    let names = entries(of: folder)?.filter { !$0.hasPrefix(".") }.sorted() ?? []
    func list(_ endings: Set<String>) -> JSON {
      .array(names.filter { endings.contains(Ending.of($0) ?? "") }.map { .string($0) })
    }
    return .object(["pictures": list(Ending.pictures), "sounds": list(Ending.sounds)])
  }

  /// Nil if there is no such file directly in the folder.
  func path(of name: String) -> String? {
    let path = "\(folder)/\(name)"
    return isName(name) && access(path, R_OK) == 0 ? path : nil
  }

  private func isName(_ name: String) -> Bool {
    !name.isEmpty && !name.contains("/") && !name.hasPrefix(".") && !name.utf8.contains(0)
  }

  /// Responds with the lip opening in each frame.
  func tellLips(_ name: String, _ connection: Connection) {
    guard let path = path(of: name) else { return connection.answer(404) }
    do {
      let media = try Media(path: path)
      try media.requirePicture(deinterlaced: true)
      let look = Look(picture: media, model: model, threads: 0, deinterlaced: true)
      _ = try look.run(Report(isSilent: true).progress("look", of: nil))
      let lips = look.sights.map { time, sight in
        JSON.array([.number(time), sight.opening.map { .number(Double($0)) } ?? .null])
      }
      connection.answer(200, "application/json", JSON.array(lips).text)
    } catch {
      connection.answer(400, "text/plain", "\(error)")
    }
  }

  /// Starts a dub in a separate process, and responds with the lines that it prints.
  func dub(_ body: [UInt8], _ connection: Connection) {
    guard case .object(let members)? = try? JSON(parsing: body) else { return connection.answer(400) }
    let text = members.mapValues(\.plain)
    guard let video = path(of: text["video"] ?? ""), let audio = path(of: text["audio"] ?? ""),
      let output = text["output"], isName(output)
    else { return connection.answer(400, "text/plain", "a file that is not there, or no name for the result") }
    let words = [
      "dub", "--json", "--no-overwrite", "--video", video, "--audio", audio, "--output", "\(folder)/\(output)",
      "--strength=\(text["strength"] ?? "1")", "--face-select=\(text["face"] ?? "largest")",
    ]
    guard let child = start(words) else { return connection.answer(400, "text/plain", "cannot start syncdiff") }
    defer { close(child.out) }
    children.withLock { _ = $0.insert(child.id) }
    connection.begin(200, "application/x-ndjson")
    var bytes = [UInt8](repeating: 0, count: 4096)
    while case let count = read(child.out, &bytes, bytes.count), count > 0 {
      if !connection.write(Array(bytes[..<count])) { kill(child.id, SIGTERM) }
    }
    // Remove it from the list before its process ID can be reused.
    children.withLock { children in
      waitpid(child.id, nil, 0)
      children.remove(child.id)
    }
  }

  func stop() { children.withLock { $0.forEach { kill($0, SIGTERM) } } }

  private func start(_ words: [String]) -> (id: pid_t, out: Int32)? {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { return nil }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    defer { close(ends[1]) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO)
    defer { posix_spawn_file_actions_destroy(&actions) }
    var arguments = (["syncdiff"] + words).map { strdup($0) } + [nil]
    defer { arguments.forEach { free($0) } }
    var id: pid_t = 0
    guard posix_spawn(&id, "/proc/self/exe", &actions, nil, &arguments, environ) == 0 else {
      close(ends[0])
      return nil
    }
    return (id, ends[0])
  }
}
