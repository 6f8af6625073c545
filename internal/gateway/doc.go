// Package gateway is Selvedge's front door: it listens, finds the function a
// request is for, has an [Invoker] find a worker for it and lets package
// upstream carry the request there and the answer back. It knows nothing of
// Deno.
//
// The way of a request can be read in one place, Server.buildHandler.
package gateway
