"""OpenVINO on our own export, one request, for the lowest latency."""

import openvino

from benchmarks.peers._exported import Exported

TASKS = ("predict",)


def start(problem, threads):
    return Request(problem, threads)


class Request(Exported):
    def load(self, path, threads):
        case = self.problem.case
        model = openvino.Core().read_model(path)
        model.reshape([case.rows, case.widths[0]])
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        settings["INFERENCE_PRECISION_HINT"] = "f64" if self.problem.dtype.itemsize == 8 else "f32"
        request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

        def run(X):
            request.infer([X], share_inputs=True, share_outputs=True)
            return request.get_output_tensor().data

        return run
