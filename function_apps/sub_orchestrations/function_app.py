"""Sub-orchestrations: one orchestration for all devices, which starts one for each."""

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="devices", methods=["POST"])
@app.durable_client_input(client_name="client")
async def install_devices(
    req: func.HttpRequest, client: df.DurableOrchestrationClient
) -> func.HttpResponse:
    instance_id = await client.start_new("set_up_devices", client_input=req.get_json())
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def set_up_devices(context: df.DurableOrchestrationContext):
    devices = context.get_input()
    # With ids of our own the parts can be found from outside, too.
    parts = [
        context.call_sub_orchestrator(
            "set_up_device", device, instance_id=f"{context.instance_id}-{device}"
        )
        for device in devices
    ]
    addresses = yield context.task_all(parts)
    return dict(zip(devices, addresses, strict=True))


@app.orchestration_trigger(context_name="context")
def set_up_device(context: df.DurableOrchestrationContext):
    device = context.get_input()
    address = yield context.call_activity("register_device", device)
    yield context.call_activity("configure_device", address)
    return address


@app.activity_trigger(input_name="device")
def register_device(device: str) -> str:
    return f"{device}.devices.example"


@app.activity_trigger(input_name="address")
def configure_device(address: str) -> bool:
    return True
