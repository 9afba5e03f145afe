// GET /openapi.json: the endpoints as an OpenAPI 3.1 document, made from the table of endpoints and
// the tables of their members (request_fields.h). A test holds the table to the router.
#pragma once

#include <span>
#include <string_view>

#include "base/json.h"
#include "net/router.h"
#include "server/fields.h"

namespace tack::server {

struct Endpoint {
  std::string_view method, path;   // as the router has them
  std::string_view summary;        // one sentence
  std::string_view answer;         // a schema of openapi.cc; "": text
  std::span<const Field> members;  // of the request's body; empty: it has none
  bool streams = false;            // with "stream": true, events
};
std::span<const Endpoint> endpoints();

Json openapi_json();

void add_openapi_route(net::Router& router);

}  // namespace tack::server
