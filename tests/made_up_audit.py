#!/usr/bin/env python3
"""Writes an audit log by its description (src/store/audit_record.h), with code of its own.

made_up_audit.py FILE RECORDS: also writes audit.key beside it, unless it is there. The id of record 50 is the digest
of jane@example.com.
"""
import hashlib
import os
import pathlib
import secrets
import sys
import time

log, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])
key_file = log.parent / "audit.key"
if not key_file.exists():
    with open(os.open(key_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
        out.write(secrets.token_hex(32) + "\n")
master = bytes.fromhex(key_file.read_text().strip())
# libsodium's crypto_kdf: BLAKE2b with the number of the subkey as salt and the context as personalisation.
key, content_key = (hashlib.blake2b(b"", digest_size=32, key=master, salt=use.to_bytes(8, "little") + bytes(8),
                                    person=b"tackaudt" + bytes(8)).digest() for use in (1, 2))
hidden = "digest:" + hashlib.blake2b(b"jane@example.com", digest_size=16, key=content_key).hexdigest()
log_id, mac, now = secrets.token_hex(8), "0" * 64, time.time()
with open(log, "w") as out:
    for seq in range(count):
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{seq:06}Z"
        line = f'{{"seq":{seq},"log":"{log_id}","prev":"{mac}","time":"{moment}"'
        if seq == 0:
            line += ',"event":"begin","outcome":"ok","labels":{"format":"1"},"counts":{"file":1}'
        else:
            client = ',"client":"support"' if seq % 3 == 0 else ""
            name = hidden if seq == 50 else f"req-{seq}"
            line += f',"event":"request","outcome":"ok","id":"{name}"{client},"model":"m","counts":{{"tokens":{seq}}}'
        mac = hashlib.blake2b(line.encode(), digest_size=32, key=key).hexdigest()
        out.write(f'{line},"mac":"{mac}"}}\n')
