class EzPickle:
    pass
