// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// As much of HTTP/1.1 (RFC 9112) as a page for one local user needs: one request per connection.

import CGStreamer
import Dispatch
import Glibc
import Synchronization

final class LocalServer: Sendable {
  private let socket: Int32
  let port: UInt16

  /// Listens on the loopback interface only. Port 0: any free port. Throws if the port is taken.
  init(port: UInt16) throws {
    socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var on: Int32 = 1
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let socket = socket
    let isThere = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(socket, $0, size) == 0 && listen(socket, 16) == 0 && getsockname(socket, $0, &size) == 0
      }
    }
    guard isThere else {
      let reason = String(cString: strerror(errno))
      close(socket)
      throw Failure("cannot listen on port \(port) of this machine: \(reason)", .badOutput)
    }
    self.port = UInt16(bigEndian: address.sin_port)
  }

  deinit { close(socket) }

  /// Answers each request on a thread of its own, until the user ends the program.
  func serve(_ answer: @escaping @Sendable (Request, Connection) -> Void) {
    while Interrupt.status == nil {
      var waiting = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
      guard poll(&waiting, 1, 200) > 0 else { continue }
      let descriptor = accept(socket, nil, nil)
      guard descriptor >= 0 else { continue }
      _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
      let connection = Connection(descriptor)
      DispatchQueue.global().async { [self] in
        guard let request = connection.request() else { return connection.answer(400) }
        // Keep other sites out: neither a hostname of theirs that resolves to this machine nor a form may reach us.
        guard ["127.0.0.1:\(port)", "localhost:\(port)"].contains(request.headers["host"] ?? ""),
          request.method == "GET" || request.headers["x-syncdiff"] != nil
        else { return connection.answer(403) }
        answer(request, connection)
      }
    }
  }
}

struct Request {
  let method: String
  /// Percent-decoded, without the query.
  let path: String
  let query: [String: String]
  /// Names in lower case.
  let headers: [String: String]
  var body: [UInt8] = []

  /// Nil if the text is not the head of a request.
  fileprivate init?(_ head: String) {
    var lines = head.split(separator: "\r\n", omittingEmptySubsequences: false)[...]
    guard let words = lines.popFirst()?.split(separator: " "), words.count == 3 else { return nil }
    let target = words[1].split(separator: "?", maxSplits: 1)
    guard let path = target.first.flatMap({ decoded(String($0)) }) else { return nil }
    (method, self.path) = (String(words[0]), path)
    query = (target.count > 1 ? target[1] : "").split(separator: "&").reduce(into: [:]) { query, pair in
      let parts = pair.split(separator: "=", maxSplits: 1).map { decoded(String($0)) ?? "" }
      if parts.count == 2 { query[parts[0]] = parts[1] }
    }
    headers = lines.reduce(into: [:]) { headers, line in
      let parts = line.split(separator: ":", maxSplits: 1)
      guard parts.count == 2 else { return }
      headers[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
    }
  }
}

/// Percent-decoded; nil if the result is not UTF-8.
private func decoded(_ text: String) -> String? {
  guard let bytes = g_uri_unescape_string(text, nil) else { return nil }
  defer { g_free(bytes) }
  return String(validatingCString: bytes)
}

final class Connection: Sendable {
  private let descriptor: Int32
  private static let longest = 1 << 16  // bytes, of a request's head and of its body

  fileprivate init(_ descriptor: Int32) { self.descriptor = descriptor }

  deinit { close(descriptor) }

  fileprivate func request() -> Request? {
    let end = Array("\r\n\r\n".utf8)
    var (bytes, part) = ([UInt8](), [UInt8](repeating: 0, count: 4096))
    func more() -> Bool {
      let count = recv(descriptor, &part, part.count, 0)
      if count > 0 { bytes += part[..<count] }
      return count > 0
    }
    var head: Range<Int>?
    while head == nil {
      guard bytes.count < Self.longest, more() else { return nil }
      head = bytes.firstRange(of: end)
    }
    guard let head, var request = Request(String(decoding: bytes[..<head.lowerBound], as: UTF8.self)) else {
      return nil
    }
    let length = request.headers["content-length"].flatMap { Int($0) } ?? 0
    guard (0...Self.longest).contains(length) else { return nil }
    while bytes.count < head.upperBound + length { guard more() else { return nil } }
    request.body = Array(bytes[head.upperBound...])
    return request
  }

  func answer(_ status: Int, _ type: String = "text/plain", _ body: String = "", headers: String = "") {
    begin(status, type, "Content-Length: \(body.utf8.count)\r\n\(headers)")
    write(Array(body.utf8))
  }

  /// Sends the head of a response whose body is written piece by piece and ends with the connection.
  func begin(_ status: Int, _ type: String, _ headers: String = "") {
    let reasons = [
      200: "OK", 206: "Partial Content", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
      416: "Range Not Satisfiable",
    ]
    write(
      Array(
        """
        HTTP/1.1 \(status) \(reasons[status] ?? "Error")\r
        Content-Type: \(type)\r
        Cache-Control: no-store\r
        X-Content-Type-Options: nosniff\r
        Connection: close\r
        \(headers)\r

        """.utf8))
  }

  /// False if the client has gone.
  @discardableResult
  func write(_ bytes: [UInt8]) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 || errno == EINTR else { return false }
      rest = rest.dropFirst(max(count, 0))
    }
    return true
  }

  /// Sends a file, or the range of it that the browser requests.
  func answer(file path: String, _ range: String?) {
    guard let file = fopen(path, "re") else { return answer(404) }
    defer { fclose(file) }
    fseeko(file, 0, SEEK_END)
    let size = Int(ftello(file))
    var part = 0..<size
    let type = "application/octet-stream"
    if let bounds = range?.wholeMatch(of: /bytes=(\d+)-(\d*)/), let first = Int(bounds.1) {
      guard first < size else { return answer(416, headers: "Content-Range: bytes */\(size)\r\n") }
      part = first..<max(min((Int(bounds.2) ?? size - 1) + 1, size), first)
      begin(
        206, type,
        "Content-Range: bytes \(part.lowerBound)-\(part.upperBound - 1)/\(size)\r\nContent-Length: \(part.count)\r\n")
    } else {
      begin(200, type, "Accept-Ranges: bytes\r\nContent-Length: \(size)\r\n")
    }
    fseeko(file, off_t(part.lowerBound), SEEK_SET)
    var (left, bytes) = (part.count, [UInt8](repeating: 0, count: 1 << 16))
    while left > 0, case let count = fread(&bytes, 1, min(left, bytes.count), file), count > 0 {
      guard write(Array(bytes[..<count])) else { return }
      left -= count
    }
  }
}
