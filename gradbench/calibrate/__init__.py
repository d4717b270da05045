"""What gradbench measures where the answer is known: is each number inside its interval as often as it says?"""
