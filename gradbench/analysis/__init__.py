"""What a run's tables say: claims decided, strategies judged, curves summarised over seeds. Never imports torch."""
