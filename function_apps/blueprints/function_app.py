"""An app in several modules: each has a blueprint, and here they are put together."""

import azure.durable_functions as df
import azure.functions as func
from billing.flow import flow
from billing.routes import routes

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(routes)
app.register_functions(flow)
