"""What several tests share: snapshots, faults, processes, strategies."""
