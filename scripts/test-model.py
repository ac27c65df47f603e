"""Runs llama.cpp's own HTTP server, out of the package xllamacpp, for one model on loopback until it is told to end.

Usage: test-model.py PACKAGE_DIR MODEL NAME PORT CONTEXT THREADS
"""

import signal
import sys

package, model, name, port, context, threads = sys.argv[1:7]
sys.path.insert(0, package)
import xllamacpp  # noqa: E402

params = xllamacpp.CommonParams()
params.model.path = model
params.model_alias = {name}
params.hostnames = ["127.0.0.1"]
params.port = int(port)
params.n_ctx = int(context)
params.n_parallel = 1
params.n_gpu_layers = 0
params.cache_ram_mib = 512
params.use_jinja = True
params.offline = True
params.ui = False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
server = xllamacpp.Server(params)
print(f"listening on {server.listening_address}", flush=True)
signal.sigwait({signal.SIGTERM, signal.SIGINT})
