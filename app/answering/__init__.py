"""A question becomes a cited answer: retrieved, recalled, read, or declined; and conversations are kept."""
