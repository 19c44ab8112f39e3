"""A model that stays ready after its answer, in a process of its own.

`client.KeptModel` is a `ChatModel` that asks such a process over a Unix socket, one connection a
request, a JSON object a line. `start` finds or starts the process, `place` says where its socket
is and who may open it, `process` and `host` are the process itself. Only `host` needs torch.
"""
