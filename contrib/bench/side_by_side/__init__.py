"""What contrib/bench/compare is made of."""
