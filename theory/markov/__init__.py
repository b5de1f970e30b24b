"""In-context Markov chains: chains, priors over them, expectations over priors, and ideal strategies."""
