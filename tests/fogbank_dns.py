"""A DNS server of the tests' own, by UDP and TCP, for names that no VPC has."""

import contextlib
import ipaddress
import socket
import struct
import threading

A = 1


class Resolver:
    """Answers for `names`, each with its addresses, and keeps in `asked` how it was asked."""

    def __init__(self):
        self.names = {}
        self.asked = []
        self.datagrams, self.listener = self._sockets()
        self.address = "127.0.0.1:{}".format(self.listener.getsockname()[1])
        for serve in (self._serve_datagrams, self._serve_connections):
            threading.Thread(target=serve, daemon=True).start()

    @staticmethod
    def _sockets():
        while True:
            listener = socket.create_server(("127.0.0.1", 0))
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                datagrams.bind(listener.getsockname())
                return datagrams, listener
            except OSError:
                listener.close()
                datagrams.close()

    def close(self):
        for one in (self.datagrams, self.listener):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _serve_datagrams(self):
        while True:
            try:
                query, source = self.datagrams.recvfrom(4096)
            except OSError:
                return
            if query:
                reply = self._reply(query, "udp")
                if len(reply) > 512:
                    question = len(reply) - 16 * struct.unpack_from("!H", reply, 6)[0]
                    reply = reply[:2] + b"\x83\x80\0\1\0\0\0\0\0\0" + reply[12:question]
                self.datagrams.sendto(reply, source)

    def _serve_connections(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            with stream, contextlib.suppress(OSError, struct.error):
                stream.settimeout(10)
                file = stream.makefile("rb")
                (length,) = struct.unpack("!H", file.read(2))
                reply = self._reply(file.read(length), "tcp")
                stream.sendall(struct.pack("!H", len(reply)) + reply)

    def _reply(self, query, protocol):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        name = ".".join(labels).lower()
        (kind,) = struct.unpack_from("!H", query, at + 1)
        self.asked.append((protocol, name))
        addresses = self.names.get(name, []) if kind == A else []
        code = 0 if name in self.names else 3
        head = struct.pack("!2sHHHHH", query[:2], 0x8180 | code, 1, len(addresses), 0, 0)
        record = b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 60, 4)
        records = [record + ipaddress.ip_address(address).packed for address in addresses]
        return head + query[12 : at + 5] + b"".join(records)
