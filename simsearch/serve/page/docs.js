"use strict";
window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  // Else it would ask a server of its makers whether the description is valid.
  validatorUrl: null,
});
