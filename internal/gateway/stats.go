package gateway

// InFlight is how many requests there are now, upgraded connections among
// them.
func (s *Server) InFlight() int64 {
	handled := s.metrics.handled.Load() // first, or a request that ends in between counts as -1
	return s.metrics.received.Load() - handled
}

// Upgraded is how many of them are no HTTP any more, such as WebSockets.
func (s *Server) Upgraded() int64 { return s.metrics.open.Load() }
