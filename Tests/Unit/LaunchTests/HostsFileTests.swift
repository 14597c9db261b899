import Launch
import Testing
import YAML

@Suite("The file that names the hosts")
struct HostsFileTests {
  private func read(_ text: String) throws -> HostsFile {
    try HostsFile(Array(text.utf8), name: "hosts.yaml", folder: "/lab")
  }

  private static let head = "coordinator: 10.0.0.1:7433\nworker_token: worker.token\n"

  @Test func hostsAreAddressesOrMappings() throws {
    let file = try read(
      Self.head + """
        package: /srv/g.tar.gz
        hosts:
          - ada
          - lab@10.0.0.7
          - ssh://lab@[fe80::1]:2222
          - address: grace.example.org
            name: grace
            slots: 2
            threads: 8
            memory_limit_mb: 8000
            cache: /scratch/gs
            labels: {site: lab, gpu: no}
        """)
    #expect(file.tokenFile == "/lab/worker.token" && file.package == "/srv/g.tar.gz")
    #expect(file.hosts.map(\.name) == ["ada", "10.0.0.7", "fe80--1", "grace"])
    #expect(file.hosts[2].address == "ssh://lab@[fe80::1]:2222")
    let grace = file.hosts[3]
    #expect(grace.slots == 2 && grace.threads == 8 && grace.memoryLimitMB == 8000 && grace.cache == "/scratch/gs")
    #expect(grace.labels == ["site": "lab", "gpu": "no"])
  }

  @Test(arguments: [
    ("worker_token: t\nhosts: [a]\n", 1, "‘coordinator’ is missing"),
    ("coordinator: here\nworker_token: t\nhosts: [a]\n", 1, "‘coordinator’ is ADDRESS:PORT"),
    (head + "hostes: [a]\n", 3, "did you mean ‘hosts’?"),
    (head + "hosts: []\n", 3, "‘hosts’ names no host"),
    (head + "hosts:\n  - a\n  - -oProxyCommand=x\n", 5, "is not an address that ssh takes"),
    (head + "hosts:\n  - 'a b'\n", 4, "is not an address that ssh takes"),
    (head + "hosts:\n  - $(id)\n", 4, "is not an address that ssh takes"),
    (head + "hosts:\n  - a\n  - b\n  - me@a\n", 6, "‘a’ is already in line 4"),
    (head + "hosts:\n  - address: a\n    slots: 0\n", 5, "slots 0 is out of range: use 1 to 1024"),
    // The worker would refuse it.
    (head + "hosts:\n  - address: a\n    memory_limit_mb: 8\n", 5, "memory_limit_mb 8 is out of range: use 16 to"),
    (head + "hosts:\n  - address: a\n    threads: 257\n", 5, "threads 257 is out of range: use 1 to 256"),
    (head + "hosts:\n  - address: a\n    slot: 1\n", 5, "did you mean ‘slots’?"),
    (head + "hosts:\n  - slots: 1\n", 4, "‘address’ is missing"),
    (head + "hosts:\n  - address: a\n    name: ../b\n", 5, "‘name’ has up to 64"),
    (head + "hosts:\n  - address: a\n    cache: scratch\n", 5, "‘cache’ is a whole path"),
    (head + "hosts:\n  - address: a\n    labels: {b: \"c\\nd\"}\n", 5, "each in one line"),
    (head + "hosts:\n  - address: a\n    labels: [x]\n", 5, "expected a mapping"),
  ])
  func everyMistakeIsToldWithItsLine(text: String, line: Int, words: String) throws {
    let error = #expect(throws: YAMLError.self) { try read(text) }
    #expect(error?.line == line && error?.message.contains(words) == true, "\(error as Any)")
  }
}
